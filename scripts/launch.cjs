// Entry of every npm script, in the oldest syntax, which any Node can parse: one that is too old for the rest says so, instead of
// failing with a misleading error.
(function () {
  var version = process.versions.node;
  var needed = 20;
  if (Number(version.split(".")[0]) >= needed) {
    // An import written as such is a syntax error for old versions.
    new Function("file", "return import(file)")(
      require("url").pathToFileURL(require("path").join(__dirname, "launch.mjs"))
    );
    return;
  }
  process.stderr.write(
    "This project needs Node.js " + needed + " or newer, and this is Node.js " + version + ": install a newer one.\n"
  );
  process.exit(1);
})();
