import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { CORE_VARIABLE, CORES } from "./cores.ts";

export default defineConfig({
  root: join(import.meta.dirname, "../.."),
  test: {
    include: [...(CORES[process.env[CORE_VARIABLE] ?? ""] ?? [])],
    testTimeout: 120_000,
    env: { CODER_NO_NATIVE: "1" },
  },
});
