import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { BUILD_VERSION_HEADER, type ErrorBody } from "coder-protocol/rest/common";
import { sendLastAnswer } from "../base/last-answer.ts";
import { BUILD_VERSION } from "../base/version.ts";
import type { HttpFailure } from "./failure.ts";

/** Answers an upgrade with an error and closes the socket. */
export function rejectUpgrade(socket: Duplex, failure: HttpFailure): void {
  const body = `${JSON.stringify(failure.body satisfies ErrorBody)}\n`;
  const headers: Record<string, string> = {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(body)),
    Connection: "close",
    [BUILD_VERSION_HEADER]: BUILD_VERSION,
    ...failure.headers,
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status] ?? "Error"}\r\n`;
  sendLastAnswer(socket, `${status}${head.join("")}\r\n`, body);
}
