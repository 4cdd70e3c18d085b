/** Finds out which protocol the program at a port of this machine speaks, by connecting to it. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type PortKind = "http" | "https" | "other";

const HOSTS = ["127.0.0.1", "::1"];
/** Limit for the greeting of programs that speak first, such as SSH and SMTP servers. */
const GREETING_MS = 200;
const ANSWER_MS = 5_000;
const MAX_ANSWER_BYTES = 4_096;
/** RFC 9110 §9.3.7: a request that makes the program do nothing. */
const QUESTION = "OPTIONS * HTTP/1.0\r\n\r\n";
const HTTP_ANSWER = /^HTTP\/1\.[01] ([0-9]{3})/;

/**
 * Undefined when nothing listens there on a loopback address, or the program did not answer in time, for example because it is
 * still starting.
 */
export async function portKind(port: number, { answerMs = ANSWER_MS } = {}): Promise<PortKind | undefined> {
  for (const host of HOSTS) {
    const socket = await connected(host, port, answerMs);
    if (socket === undefined) continue;
    const status = await httpStatus(socket, answerMs);
    if (status === "greeting") return "other";
    // Https servers answer a plain request with 400 in plain text, or not at all.
    if (typeof status === "number" && status !== 400) return "http";
    const tls = await speaksTls(host, port, answerMs);
    if (tls === true) return "https";
    if (status === 400) return "http";
    return status === "late" || tls === "late" ? undefined : "other";
  }
  return undefined;
}

function connected(host: string, port: number, answerMs: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(answerMs, () => socket.destroy());
    socket.once("connect", () => {
      socket.setTimeout(0);
      resolve(socket);
    });
    socket.once("error", () => resolve(undefined));
    socket.once("close", () => resolve(undefined));
  });
}

/**
 * The status of the answer; "greeting" for a program that speaks first; "late" for no answer in time; undefined for any other
 * answer. Ends the connection.
 */
function httpStatus(socket: Socket, answerMs: number): Promise<number | "greeting" | "late" | undefined> {
  return new Promise((resolve) => {
    let asked = false;
    let text = "";
    const end = (status: number | "greeting" | "late" | undefined): void => {
      clearTimeout(asking);
      clearTimeout(late);
      socket.destroy();
      resolve(status);
    };
    const asking = setTimeout(() => {
      asked = true;
      socket.write(QUESTION);
    }, GREETING_MS);
    const late = setTimeout(() => end("late"), GREETING_MS + answerMs);
    socket.on("data", (chunk) => {
      if (!asked) return end("greeting");
      text += chunk.toString("latin1");
      const status = HTTP_ANSWER.exec(text)?.[1];
      if (status !== undefined) end(Number(status));
      else if (text.length > MAX_ANSWER_BYTES || !"HTTP/1.".startsWith(text.slice(0, 7))) end(undefined);
    });
    socket.on("error", () => end(undefined));
    socket.on("close", () => end(undefined));
  });
}

/** Whether a TLS handshake is answered, even with an alert; "late" for no answer in time. */
function speaksTls(host: string, port: number, answerMs: number): Promise<boolean | "late"> {
  return new Promise((resolve) => {
    // The certificate is not checked, because nothing is sent.
    const socket = connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    const end = (speaks: boolean | "late"): void => {
      clearTimeout(late);
      socket.destroy();
      resolve(speaks);
    };
    const late = setTimeout(() => end("late"), answerMs);
    socket.once("secureConnect", () => end(true));
    socket.on("error", (error: NodeJS.ErrnoException) => end(/ALERT/.test(error.code ?? "")));
    socket.once("close", () => end(false));
  });
}
