/** Waiting for a condition instead of for a time. */

/** Longest that a test waits for something which should happen at once, in ms. */
const PATIENCE = 5_000;

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** The first value of `read` that is not undefined, null or false; an error that says what was awaited when it does not come. */
export async function until<T>(what: string, read: () => T | Promise<T>, patience = PATIENCE): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + patience;
  for (let tries = 0; ; tries++) {
    const value = await read();
    if (value !== undefined && value !== null && value !== false) return value as NonNullable<Exclude<T, false>>;
    if (performance.now() > end) throw new Error(`waited ${patience} ms in vain for ${what}`);
    // Soon at first; what takes long is not asked all the time, for other tests need the machine.
    await sleep(Math.min(20, 1 + tries / 4));
  }
}

/** What `read` counts has begun and then stood still for `still` ms. */
export async function untilStill(what: string, read: () => number, patience = 15_000, still = 300): Promise<void> {
  let last = 0;
  let since = performance.now();
  await until(
    what,
    () => {
      const now = performance.now();
      if (read() !== last) {
        last = read();
        since = now;
      }
      return last > 0 && now - since >= still;
    },
    patience,
  );
}

/** `promise`, or an error that says what was awaited. */
export async function within<T>(what: string, promise: Promise<T>, patience = PATIENCE): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patience} ms in vain for ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
