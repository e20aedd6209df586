/** Methods of Buffer that Node and Bun have and the types leave out. */
declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
    /** Bytes written. */
    latin1Write(text: string, offset: number, length?: number): number;
  }
}
export {};
