import { Gauge, type Registry } from "prom-client";
import type { RelayListener } from "./relay-listener.ts";

/** The relay's counters on /metrics, read when the metrics are requested. */
export function relayMetrics(listener: RelayListener, registry: Registry): void {
  const simple: readonly [string, string, () => number][] = [
    ["coder_derp_connections", "Open relay connections", () => listener.metrics.relay.connections],
    ["coder_derp_clients", "Relay connections whose client is known", () => listener.metrics.relay.clients],
    [
      "coder_derp_websocket_connections",
      "Relay connections over WebSocket",
      () => listener.metrics.webSocketConnections,
    ],
    [
      "coder_derp_packets_received",
      "Packets taken from clients since the start",
      () => listener.metrics.relay.packetsReceived,
    ],
    ["coder_derp_packets_sent", "Packets given to clients since the start", () => listener.metrics.relay.packetsSent],
    [
      "coder_derp_bytes_received",
      "Bytes taken from clients since the start",
      () => listener.metrics.relay.bytesReceived,
    ],
    ["coder_derp_bytes_sent", "Bytes given to clients since the start", () => listener.metrics.relay.bytesSent],
    ["coder_derp_stalled", "Clients cut off because they did not read", () => listener.metrics.stalled],
  ];
  for (const [name, help, value] of simple) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect(this: Gauge) {
        this.set(value());
      },
    });
  }
  new Gauge({
    name: "coder_derp_refused_connections",
    help: "Relay connections refused since the start, by reason",
    labelNames: ["reason"],
    registers: [registry],
    collect(this: Gauge<"reason">) {
      for (const [reason, count] of Object.entries(listener.metrics.refused)) this.set({ reason }, count);
    },
  });
  new Gauge({
    name: "coder_derp_dropped_packets",
    help: "Packets dropped since the start, by reason",
    labelNames: ["reason"],
    registers: [registry],
    collect(this: Gauge<"reason">) {
      for (const [reason, count] of Object.entries(listener.metrics.relay.drops)) this.set({ reason }, count);
    },
  });
}
