export interface PageProps {
  /** Parameters in the path of the address. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}
