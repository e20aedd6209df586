/** What the address names is not there (any more). */
import { hrefOf } from "../route.ts";

export function Missing({ what }: { readonly what: string }) {
  return (
    <>
      <h1>Not here</h1>
      <p>{what}</p>
      <p>
        <a href={hrefOf({ page: "overview" })}>To the overview</a>
      </p>
    </>
  );
}
