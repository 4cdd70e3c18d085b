declare module "*?sharedworker&url" {
  const url: string;
  // biome-ignore lint/style/noDefaultExport: Vite exports the address so
  export default url;
}
