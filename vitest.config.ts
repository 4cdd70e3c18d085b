import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "packages/*/build/*.test.ts",
      "packages/*/test/**/*.test.ts",
      "scripts/**/*.test.ts",
    ],
    exclude: [
      "**/node_modules/**",
      "packages/*/test/interop/**",
      "packages/*/test/natlab/**",
      "packages/*/test/browser/**",
      "packages/*/test/postgres/**",
      "packages/*/test/cluster/**",
    ],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    // What every platform has; the other tiers run with the native module.
    env: { CODER_NO_NATIVE: "1" },
  },
});
