import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Figures of the process and of its HTTP side. Other parts add theirs to the same registry. */
export interface ServerMetrics {
  readonly registry: Registry;
  recordRequest(method: string, status: number, seconds: number): void;
}

export function createMetrics(openWebSockets: () => number): ServerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "coderd_api_requests_processed_total",
    help: "Requests answered, by method and status",
    labelNames: ["method", "code"],
    registers: [registry],
  });
  const durations = new Histogram({
    name: "coderd_api_request_latencies_seconds",
    help: "Time to the end of an answer",
    labelNames: ["method"],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10, 30],
    registers: [registry],
  });
  new Gauge({
    name: "coderd_api_concurrent_websockets",
    help: "Open WebSockets of the REST surface",
    registers: [registry],
    collect() {
      this.set(openWebSockets());
    },
  });
  const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
  return {
    registry,
    recordRequest(method, status, seconds) {
      // A client may send any word as method; each would be a time series of its own.
      const label = methods.has(method) ? method : "other";
      requests.inc({ method: label, code: String(status) });
      durations.observe({ method: label }, seconds);
    },
  };
}

/** A server for GET /metrics alone. It has no authentication: its address is its protection. */
export function createMetricsServer(registry: Registry): Server {
  return createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
    if (request.url?.split("?")[0] !== "/metrics" || request.method !== "GET") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "Content-Type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
}
