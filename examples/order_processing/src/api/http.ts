// SPDX-License-Identifier: GPL-3.0-or-later
// The little of a web framework that four routes need.

import type { IncomingMessage, ServerResponse } from 'node:http';

export const MAX_BODY_BYTES = 256 * 1024;

/** An answer that is not a success, thrown from anywhere below a handler. */
export class HttpError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly body: Record<string, unknown> = {},
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

export interface Answer {
  code: number;
  body: Record<string, unknown>;
}

export interface Route {
  method: 'GET' | 'POST';
  /** Its groups are the handler's parameters, already decoded. */
  path: RegExp;
  handle(parameters: string[], request: IncomingMessage): Promise<Answer>;
}

/** Finds the route; tells an unknown address (404) from a wrong method (405). */
export function match(routes: readonly Route[], method: string, url: string): { route: Route; parameters: string[] } {
  const path = url.split('?', 1)[0] ?? '/';
  const wanted = method === 'HEAD' ? 'GET' : method;
  const allowed: string[] = [];
  for (const route of routes) {
    const found = route.path.exec(path);
    if (!found) continue;
    if (route.method === wanted) return { route, parameters: found.slice(1).map(decode) };
    allowed.push(route.method);
  }
  if (allowed.length === 0) throw new HttpError(404, `There is nothing at ${path}`);
  throw new HttpError(405, `${path} does not take ${method}; use ${allowed.join(' or ')}`, {}, { allow: allowed.join(', ') });
}

/** The body as JSON; an empty one is an empty object when `optional`. */
export async function readJson(request: IncomingMessage, optional = false): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Read on but keep nothing: an answer in the middle of a request would be lost by the proxy in front.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (size > MAX_BODY_BYTES) {
    throw new HttpError(413, `The body has ${size} bytes; at most ${MAX_BODY_BYTES} are taken`);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (optional && text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, `The body is not JSON: ${(error as Error).message}`);
  }
}

export function send(response: ServerResponse, { code, body }: Answer): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(code, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpError(400, `'${part}' is not a valid part of an address`);
  }
}
