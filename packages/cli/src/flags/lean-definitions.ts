/**
 * Stands in for `@oclif/core/flags` and `@oclif/core/args` in bundles that read definitions without oclif's parser;
 * scripts/build.ts substitutes it. A definition is kept as it is written.
 */
type Definition = Readonly<Record<string, unknown>>;

export const custom =
  (defaults: Definition = {}) =>
  (options: Definition = {}): Definition => ({ ...defaults, ...options, type: "option" });
export const option = custom;
export const boolean = (options: Definition = {}): Definition => ({ ...options, type: "boolean" });
