/** What refuses to run on a Node that is too old, before that Node meets anything it does not know. */

/** `22.13` of `>=22.13`. */
export function floorOf(engines: { readonly node: string }): string {
  const floor = /^>=(\d+\.\d+)$/.exec(engines.node)?.[1];
  if (floor === undefined) throw new Error(`engines.node is not >=MAJOR.MINOR, but ${engines.node}`);
  return floor;
}

/**
 * A statement that every JavaScript engine of the last fifteen years can read. Does nothing outside Node.
 * @param refuse What is done with `sentence`.
 */
export function nodeFloorStatement(product: string, floor: string, refuse: string): string {
  const [major, minor] = floor.split(".");
  return `(function () {
  var version = typeof process === "object" && process.versions && process.versions.node;
  if (!version) return;
  var parts = version.split(".").map(Number);
  if (parts[0] > ${major} || (parts[0] === ${major} && parts[1] >= ${minor})) return;
  var sentence = "${product} needs Node.js ${floor} or newer, and this is Node.js " + version + ": install a newer one.";
  ${refuse}
})();
`;
}
