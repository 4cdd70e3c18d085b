import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/server/test/**/*.test.ts"],
    exclude: [
      "**/node_modules/**",
      "packages/server/test/interop/**",
      // They look at files, or need no store.
      "packages/server/test/{audit,backup,connection-end,downloads,install-scripts,pages,relay-only,stun,tls,upgrade-header,workspace-proxy}.test.ts",
      // In virtual time every answer of a database is late.
      "packages/server/test/silent-peers.test.ts",
      // One server alone takes its clients' state over when it is back; over PostgreSQL that is test/postgres/cluster.test.ts.
      "packages/server/test/rights-after-restart.test.ts",
      "packages/server/test/{durability,fuzz,memory}/**",
    ],
    globalSetup: ["scripts/postgres-setup.ts"],
    setupFiles: ["scripts/postgres-required.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    env: { CODER_NO_NATIVE: "1" },
  },
});
