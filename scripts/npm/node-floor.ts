/** Refuses to run on a Node that is too old, before it meets syntax that it does not know. */

/** `22.13` of `>=22.13`. */
export function floorOf(engines: { readonly node: string }): string {
  const floor = /^>=(\d+\.\d+)$/.exec(engines.node)?.[1];
  if (floor === undefined) throw new Error(`engines.node is not >=MAJOR.MINOR, but ${engines.node}`);
  return floor;
}

/**
 * A statement in the oldest syntax, which any JavaScript engine can parse. Does nothing outside Node.
 * @param refuse Called with `sentence`.
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
