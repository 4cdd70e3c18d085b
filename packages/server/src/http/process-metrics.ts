import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { BUILD_VERSION } from "../base/version.ts";
import { originForm } from "./origin-form.ts";
import type { Certificates } from "./tls.ts";

/** Metrics of any process that listens. Its parts add theirs to the same registry. */
export interface ProcessMetrics {
  readonly registry: Registry;
  recordRequest(method: string, status: number, seconds: number): void;
}

export function createProcessMetrics(): ProcessMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "coder_build_info",
    help: "Always 1; the label is the version",
    labelNames: ["version"],
    registers: [registry],
  }).set({ version: BUILD_VERSION }, 1);
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
  const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
  return {
    registry,
    recordRequest(method, status, seconds) {
      // A client may send any word as the method, and each would create a time series.
      const label = methods.has(method) ? method : "other";
      requests.inc({ method: label, code: String(status) });
      durations.observe({ method: label }, seconds);
    },
  };
}

export function certificateMetrics(registry: Registry, certificates: Pick<Certificates, "expiries">): void {
  new Gauge({
    name: "coder_tls_certificate_expiry_timestamp_seconds",
    help: "When a TLS certificate in use expires, in seconds since 1970",
    labelNames: ["file"],
    registers: [registry],
    collect() {
      for (const { file, untilMs } of certificates.expiries()) this.set({ file }, untilMs / 1000);
    },
  });
}

/** A server for GET /metrics only. It has no authentication: access to its address is the only protection. */
export function createMetricsServer(registry: Registry): Server {
  return createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
    if (originForm(request).url?.split("?")[0] !== "/metrics" || request.method !== "GET") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "Content-Type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
}
