import { createSocket } from "node:dgram";
import { formatIp, type IpAddress, isIpv4, parseIp } from "../../base/ip.ts";

/** Discard (RFC 863); nothing is sent there. */
const ANY_PORT = 9;

/**
 * Our address on the interface by which packets to `destination` leave, or undefined when there is no route. Connecting a UDP
 * socket consults the system's routing table and sends nothing. Never rejects.
 */
export async function sourceAddressTowards(destination: IpAddress): Promise<IpAddress | undefined> {
  const socket = createSocket(isIpv4(destination) ? "udp4" : "udp6");
  try {
    return await new Promise((resolve) => {
      // An error means no route, or a family that is switched off. With a callback it is passed there, or emitted as an event
      // before binding.
      const connected = (error?: Error): void =>
        resolve(error === undefined ? parseIp(socket.address().address.split("%")[0]!) : undefined);
      socket.once("error", connected);
      socket.connect(ANY_PORT, formatIp(destination), connected);
    });
  } finally {
    socket.close();
  }
}
