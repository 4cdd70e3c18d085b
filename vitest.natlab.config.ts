import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/natlab/**/*.test.ts"],
    testTimeout: 240_000,
    hookTimeout: 600_000,
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
  },
});
