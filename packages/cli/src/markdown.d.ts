/** A documentation page, bundled as text. */
declare module "*.md" {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: the bundler gives a text file a default export only
  export default text;
}
