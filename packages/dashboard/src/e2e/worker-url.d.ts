declare module "*?worker&url" {
  /** Address of the built script. */
  const address: string;
  // biome-ignore lint/style/noDefaultExport: Vite exports the address so
  export default address;
}
