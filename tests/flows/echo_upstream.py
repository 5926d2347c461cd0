# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that says what it was asked: the headers of a request as JSON, and each WebSocket frame back.

Python's own library only, because it runs on the VM: ``python3 echo_upstream.py PORT``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("upgrade", "").lower() == "websocket" and "upgrade" in self.headers["connection"].lower():
            self.websocket()
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("set-cookie", "a=" + "x" * int(self.headers.get("x-cookie-bytes", "1")))
        self.end_headers()
        self.wfile.write(body)

    def websocket(self) -> None:
        """Agree, and send each short text frame back unmasked until the other side closes."""
        key = hashlib.sha1((self.headers["sec-websocket-key"] + GUID).encode()).digest()
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", base64.b64encode(key).decode())
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2 and head[0] & 0x0F == 1:
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 0x7F)))
            self.wfile.write(bytes([0x81, len(text)]) + text)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
