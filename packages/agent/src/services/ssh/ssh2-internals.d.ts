/**
 * The parts of ssh2 1.17 below its Client and Server classes: transport, key exchange and message codecs. They have no
 * published types. The dependency is pinned to an exact version; ssh2-protocol.ts is the only user.
 */
declare module "ssh2/lib/protocol/Protocol.js" {
  const Protocol: new (config: unknown) => unknown;
  export = Protocol;
}

declare module "ssh2/lib/protocol/kex.js" {
  interface KexInit {
    readonly lists: { readonly kex: { array: readonly string[] } };
  }
  const kex: { readonly KexInit: new (lists: unknown) => KexInit };
  export = kex;
}

declare module "ssh2/lib/protocol/keyParser.js" {
  interface ParsedKey {
    readonly type: string;
    getPrivatePEM(): string | null;
  }
  const keyParser: { parseKey(key: string | Uint8Array): Error | ParsedKey | ParsedKey[] };
  export = keyParser;
}

declare module "ssh2/lib/protocol/crypto.js" {
  /** The part of our patch that admits other ciphers and records who owns which memory. */
  namespace crypto {
    interface Outbound {
      readonly seqno: number;
      readonly cipherInfo: { readonly sslName: string };
      readonly cipherKey: Buffer;
      readonly cipherIV: Buffer;
      readonly onWrite: (packet: Buffer, owned: boolean) => void;
      /** ssh2's own cipher is requested. */
      readonly forceNative?: boolean;
    }
    interface Inbound {
      readonly seqno: number;
      readonly decipherInfo: { readonly sslName: string };
      readonly decipherKey: Buffer;
      readonly decipherIV: Buffer;
      readonly onPayload: (payload: Buffer) => number | false | undefined;
      readonly forceNative?: boolean;
    }
    interface CipherFactory {
      createCipher(config: Outbound): object | undefined;
      createDecipher(config: Inbound): object | undefined;
    }
  }
  const crypto: {
    readonly init: Promise<void>;
    readonly CIPHER_INFO: Readonly<Record<string, { sslName: string; keyLen: number; ivLen: number }>>;
    createCipher(config: { outbound: crypto.Outbound }): object;
    createDecipher(config: { inbound: crypto.Inbound }): object;
    /** The factory is asked first for every cipher; when it returns undefined, ssh2 makes its own. */
    useCiphers(factory: crypto.CipherFactory): void;
    /** `takeBack` gets the packet's memory when {@link releaseWhole} is called with the packet. */
    lend(packet: Buffer, takeBack: (memory: ArrayBuffer) => void): void;
    /** The payload of a decrypted packet, without its length. Nothing else may read it. */
    ownedPayload(packet: Buffer): Buffer;
    /** Returns a cipher's output; to be called by its last user. */
    releaseWhole(packet: Uint8Array): void;
    releasePayload(data: Uint8Array): void;
  };
  export = crypto;
}
