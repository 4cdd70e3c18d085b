/** What this build calls itself. Editors compare it with the versions in which a stock CLI gained features. */
export const VERSION = "v2.26.0-ts.0.1.0";
