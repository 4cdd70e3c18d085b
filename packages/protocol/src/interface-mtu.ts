/**
 * The smallest MTU of a network interface that carries a full-size packet of the tunnel: an inner MTU of 1280, WireGuard's
 * 32 bytes, UDP's 8, IPv6's 40, and what a relay adds. Below it health code EIF01 is reported.
 */
export const SAFE_INTERFACE_MTU = 1378;
