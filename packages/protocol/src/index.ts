/** Public entry of the wire contract: names, addresses, versions. The protocols themselves have entries of their own. */

export {
  agentAddress,
  agentAddresses,
  formatIpv6,
  isAgentAddress,
  nodeIdOfUuid,
  type RandomBytes,
  randomClientAddress,
  randomNodeId,
  randomUuid,
} from "./addresses.ts";
export { NameError, type NameOptions, parseWorkspaceName, type WorkspaceName } from "./names.ts";
export {
  AGENT_API_VERSION,
  type ApiVersion,
  BUILD_VERSION,
  checkVersion,
  parseVersion,
  TAILNET_API_VERSION,
} from "./version.ts";
