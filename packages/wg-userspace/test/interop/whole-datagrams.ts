/**
 * `node whole-datagrams.ts ADDRESS`: two UDP sockets on an address of this host. Sends packets that measure a path, of 1310, 1452
 * and 3000 bytes, and a datagram with data, of 2900 bytes; prints the lengths that arrived.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createPacketCipher } from "../../src/aead/cipher.ts";
import { parseIp } from "../../src/base/ip.ts";
import { bindUdpSocket } from "../../src/io/udp/udp-socket.ts";
import { udpPath } from "../../src/magicsock/path.ts";

const LAST_BYTES = 10;
const ARRIVED_WITHIN_MS = 20_000;

const address = parseIp(process.argv[2]!)!;
const cipher = createPacketCipher({ stride: 9216 });
const arrived: number[] = [];
const open = () =>
  bindUdpSocket(
    { port: 0, cipher },
    {
      onDatagram: (_address, _port, { length }) => void arrived.push(length),
      onTransport: () => undefined,
      pathOf: () => undefined,
      onTooLong: () => undefined,
      onBatchEnd: () => undefined,
      onError: (error) => {
        throw error;
      },
      onDrain: () => undefined,
    },
  );
const [from, to] = [await open(), await open()];
const path = udpPath({ address, port: to.ports[address.length === 4 ? "ipv4" : "ipv6"]! });
for (const length of [1310, 1452, 3000]) from.sendProbe(path, new Uint8Array(length), undefined);
const slot = cipher.tx.lease();
from.send(path, slot, 2900);
from.flush();
from.sendProbe(path, new Uint8Array(LAST_BYTES), undefined);
for (const end = performance.now() + ARRIVED_WITHIN_MS; !arrived.includes(LAST_BYTES); await sleep(5)) {
  if (performance.now() > end) throw new Error("the last datagram did not arrive");
}
process.stdout.write(JSON.stringify(arrived));
from.close();
to.close();
