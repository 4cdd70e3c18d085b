/**
 * Stands in for `@oclif/core/flags` and `@oclif/core/args` where a bundle reads definitions and has no parser of oclif: the
 * build puts it there (scripts/build.ts). A definition is kept as it is written.
 */
type Definition = Readonly<Record<string, unknown>>;

export const custom =
  (defaults: Definition = {}) =>
  (options: Definition = {}): Definition => ({ ...defaults, ...options, type: "option" });
export const option = custom;
export const boolean = (options: Definition = {}): Definition => ({ ...options, type: "boolean" });
