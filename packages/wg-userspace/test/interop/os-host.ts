/** The other side: plain sockets of the operating system, behind a stock WireGuard interface. Driven like engine-host. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { patternBytes } from "./pattern.ts";

async function pour(socket: Socket, bytes: number): Promise<void> {
  for (const chunk of patternBytes(bytes)) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.end();
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as { do: string; to: string; port: number; bytes: number };
  let answer: unknown = {};
  try {
    if (request.do === "serve") {
      const server = createServer({ allowHalfOpen: true }, async (socket) => {
        const hash = createHash("sha256");
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
        socket.write(hash.digest());
        await pour(socket, request.bytes);
      });
      server.listen(request.port, "::");
      await once(server, "listening");
    } else {
      const socket = connect({ host: request.to, port: request.port, allowHalfOpen: true });
      await once(socket, "connect");
      const sending = pour(socket, request.bytes);
      const hash = createHash("sha256");
      let received = 0;
      for await (const chunk of socket) {
        hash.update(chunk as Buffer);
        received += (chunk as Buffer).length;
      }
      await sending;
      answer = { received, sha256: hash.digest("hex") };
    }
  } catch (error) {
    answer = { error: String((error as Error).stack) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
