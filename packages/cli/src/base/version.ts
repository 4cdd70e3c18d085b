/** The version of this build. Editors compare it with the versions in which a stock CLI gained features. */
export { BUILD_VERSION as VERSION } from "coder-protocol/version";
