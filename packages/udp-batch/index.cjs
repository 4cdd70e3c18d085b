"use strict";
// The prebuilt module of a release, or the one that was built here. Throws where there is neither: callers take that as
// "not there" and go on with what every platform has.
const { existsSync } = require("node:fs");
const { join } = require("node:path");

const places = [
  join(__dirname, "prebuilds", `${process.platform}-${process.arch}`, "udp_batch.node"),
  join(__dirname, "native", "build", "Release", "udp_batch.node"),
];
const found = places.find((place) => existsSync(place));
if (found === undefined) throw new Error("udp-batch is not built for this platform");
module.exports = require(found);
