"use strict";
// The module that was built here, or the prebuilt one of a release. Throws where there is neither, or none that loads: callers
// take that as "not there" and use what every platform has.
const { existsSync } = require("node:fs");
const { join } = require("node:path");

const prebuilt = join(__dirname, "prebuilds", `${process.platform}-${process.arch}`);
const places = [
  join(__dirname, "native", "build", "Release", "udp_batch.node"),
  join(prebuilt, "udp_batch.glibc.node"),
  join(prebuilt, "udp_batch.musl.node"), // for systems without the C library of the one before
];
let failure = new Error("udp-batch is not built for this platform");
const found = places.find((place) => {
  if (!existsSync(place)) return false;
  try {
    module.exports = require(place);
    return true;
  } catch (error) {
    failure = error;
    return false;
  }
});
if (found === undefined) throw failure;
