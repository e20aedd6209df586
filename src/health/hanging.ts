/**
 * Counts connects that outlived their checks, and says when there are too many of them.
 *
 * A connect to an address that swallows packets cannot be called off through the seam; the system gives it up after about two minutes.
 * With a check every five seconds a dead network zone of a thousand targets would hold 25,000 descriptors, and healthy targets
 * could then not be checked for want of one.
 */

/** So many may hang before a target that has one gets no other. */
export const MAX_HANGING_CONNECTS = 256;

export class HangingConnects {
  private total = 0;
  private readonly places = new Map<string, number>();

  /** False when the answer would be a timeout again at the price of one more descriptor. */
  mayConnect(place: string): boolean {
    return this.total < MAX_HANGING_CONNECTS || !this.places.has(place);
  }

  add(place: string): void {
    this.total += 1;
    this.places.set(place, (this.places.get(place) ?? 0) + 1);
  }

  remove(place: string): void {
    this.total -= 1;
    const left = this.places.get(place)! - 1;
    if (left === 0) this.places.delete(place);
    else this.places.set(place, left);
  }
}
