/** Packages that a command installs when it runs, and that are not there for a type check. */
declare module "@cyclonedx/cyclonedx-library";
declare module "@microsoft/api-extractor";
declare module "yazl";
