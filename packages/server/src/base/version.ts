export { AGENT_API_VERSION, BUILD_VERSION } from "coder-protocol/version";

export const PROVISIONER_API_VERSION = "1.9";
