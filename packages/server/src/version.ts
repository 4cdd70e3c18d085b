export { BUILD_VERSION } from "coder-protocol/version";

/** Highest Agent/Tailnet API this server answers; clients with the same major and at most this minor are accepted. */
export const AGENT_API_VERSION = "2.6";

export const PROVISIONER_API_VERSION = "1.9";
