/** The cores whose tests are themselves tested, and which tests judge each. */

const src = "packages/wg-userspace/src";
const scenarios = "packages/wg-userspace/test/scenarios";

/** A core's mutants are judged by its own tests and by its scenarios in virtual time. */
export const CORES: Readonly<Record<string, readonly string[]>> = {
  wireguard: [`${src}/wireguard/**/*.test.ts`],
  // With all scenarios a mutant would take a minute.
  netstack: [`${src}/netstack/**/*.test.ts`, `${scenarios}/tcp-{rules,outage,path-mtu,transfer}.test.ts`],
  magicsock: [`${src}/magicsock/**/*.test.ts`, `${scenarios}/direct-*.test.ts`],
  derp: [`${src}/derp/**/*.test.ts`],
  disco: [`${src}/disco/**/*.test.ts`, `${src}/magicsock/**/*.test.ts`],
  stun: [`${src}/stun/**/*.test.ts`],
};

/** Environment variable that names the core to the test runner's configuration. */
export const CORE_VARIABLE = "MUTATED_CORE";
