import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DuplexStream, exchange, limitedText } from "./tunnel-fetch.ts";

interface Talk {
  readonly stream: DuplexStream;
  /** The bytes sent so far. */
  sent: string;
  aborted: boolean;
}

/** A remote end that sends this, in pieces, and ends. */
function saying(text: string | Uint8Array, pieces: readonly number[] = []): Talk {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  let at = 0;
  let piece = 0;
  const talk: Talk = {
    sent: "",
    aborted: false,
    stream: {
      readable: new ReadableStream({
        pull(controller) {
          if (at >= bytes.length) {
            controller.close();
            return;
          }
          const size = Math.max(1, pieces[piece++] ?? bytes.length);
          controller.enqueue(Uint8Array.from(bytes.subarray(at, at + size)));
          at += size;
        },
      }),
      writable: new WritableStream({
        write: (chunk) => {
          talk.sent += Buffer.from(chunk).toString("latin1");
        },
      }),
      abort: () => {
        talk.aborted = true;
      },
    },
  };
  return talk;
}

const ask = (talk: Talk, init: RequestInit = {}, path = "/a?b=c"): Promise<Response> =>
  exchange(talk.stream, "localhost:8080", new Request(`http://localhost:8080${path}`, init));

describe("HTTP through the tunnel", () => {
  it("sends the request with its headers and body, and none that would confuse the server", async () => {
    const talk = saying("HTTP/1.1 204 No Content\r\n\r\n");
    const headers = { "X-Own": "1", Connection: "upgrade", "Transfer-Encoding": "chunked" };
    const response = await ask(talk, { method: "POST", headers, body: "hello" });
    expect(response.status).toBe(204);
    const [head, body] = talk.sent.split("\r\n\r\n");
    expect(head!.split("\r\n").slice(0, 4)).toEqual([
      "POST /a?b=c HTTP/1.1",
      "Host: localhost:8080",
      "Connection: close",
      "Content-Length: 5",
    ]);
    expect(head).toContain("x-own: 1");
    expect(head!.toLowerCase().match(/^(connection|transfer-encoding):/gm)).toEqual(["connection:"]);
    expect(body).toBe("hello");
    expect(talk.aborted).toBe(true);
  });

  it.each([
    ["by its length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloand more"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"],
    ["to the end", "HTTP/1.0 200 OK\r\n\r\nhello"],
    ["after an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"],
  ])("reads a body %s, however it is cut", async (_, answer) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 80 }), async (pieces) => {
        const response = await ask(saying(answer, pieces));
        expect([response.status, await response.text()]).toEqual([200, "hello"]);
      }),
      { numRuns: 40 },
    );
  });

  it("keeps repeated headers, and gives HEAD no body", async () => {
    const talk = saying("HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 9\r\n\r\n");
    const response = await ask(talk, { method: "HEAD" });
    expect(response.statusText).toBe("Fine");
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(await response.text()).toBe("");
  });

  it.each([
    ["nothing", "", "ended inside"],
    ["no HTTP", "SSH-2.0-x\r\n\r\n", "no HTTP answer"],
    ["a header without name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "no HTTP header"],
    ["a header with a blank in its name", "HTTP/1.1 200 OK\r\nA b: x\r\n\r\n", "no HTTP header"],
    ["a head without end", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`, "too long"],
    ["another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"],
  ])("refuses an answer that is %s", async (_, answer, words) => {
    const talk = saying(answer);
    await expect(ask(talk)).rejects.toThrow(words);
    expect(talk.aborted).toBe(true);
  });

  it.each([
    ["is cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "2 bytes early"],
    ["has a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", "Content-Length"],
    ["has a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "chunk size"],
    ["ends in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "inside a chunk"],
    [
      "has a chunk that is too long",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
      "longer|head",
    ],
  ])("reports to the reader of a body that %s", async (_, answer, words) => {
    const read = async (): Promise<string> => (await ask(saying(answer))).text();
    await expect(read()).rejects.toThrow(new RegExp(words));
  });

  it("survives any answer", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, ok) => {
        const head = ok ? Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") : Buffer.alloc(0);
        const response = await ask(saying(Buffer.concat([head, bytes]))).catch(() => undefined);
        await response?.text().catch(() => undefined); // a refusal is fine, a hang is not
      }),
      { numRuns: 100 },
    );
  });

  it("ends with the signal's reason while the body is read", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    const body = Promise.withResolvers<never>();
    body.promise.catch(() => undefined); // read by the stream below
    let head: Uint8Array | undefined = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst", "latin1");
    const talk = saying("");
    const stream: DuplexStream = {
      writable: talk.stream.writable,
      readable: new ReadableStream({
        async pull(controller) {
          if (head === undefined) return body.promise;
          controller.enqueue(Uint8Array.from(head));
          head = undefined;
        },
      }),
      abort: () => body.reject(new Error("reset")),
    };
    const response = await exchange(stream, "localhost:1", new Request("http://localhost:1/", { signal: stop.signal }));
    const reading = response.text();
    stop.abort(reason);
    await expect(reading).rejects.toBe(reason);
  });

  it("gives the text of a body up to a limit, and ends the connection beyond it", async () => {
    const euro = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n€x", "utf8");
    expect(await limitedText(await ask(saying(euro, [40, 1, 1, 1, 1])), 4)).toBe("€x");
    const talk = saying("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello", [38, 1, 1, 1, 1, 1]);
    await expect(limitedText(await ask(talk), 4)).rejects.toThrow("longer than 4 bytes");
    expect(talk.aborted).toBe(true);
    expect(await limitedText(await ask(saying("HTTP/1.1 204 No Content\r\n\r\n")), 4)).toBe("");
  });
});
