/**
 * The release whose REST and agent API this server speaks. Stock clients compare major.minor with their own and warn
 * when they differ, so this names the release of the contract; our own version is in the build metadata.
 */
export const BUILD_VERSION = "v2.26.0+network.0.1.0";

/** Highest Agent/Tailnet API this server answers; clients with the same major and at most this minor are accepted. */
export const AGENT_API_VERSION = "2.6";

export const PROVISIONER_API_VERSION = "1.9";
