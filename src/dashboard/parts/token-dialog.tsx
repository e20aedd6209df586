/** Asks for the token when the API wants one. */
import { useState } from "preact/hooks";
import { tokenWanted } from "../api.ts";
import { useStore } from "../store.ts";
import { Dialog } from "./dialog.tsx";

export function TokenDialog() {
  const wanted = useStore(tokenWanted);
  const [token, setToken] = useState("");
  if (wanted === undefined) return null;
  const submit = (event: Event): void => {
    event.preventDefault();
    setToken("");
    if (token.trim() !== "") wanted.answer(token.trim());
  };
  return (
    <Dialog title="A token is needed" onClose={() => wanted.answer(undefined)}>
      <form onSubmit={submit}>
        <p>{wanted.reason}</p>
        <label>
          Token
          <input type="password" name="token" autocomplete="off" value={token} onInput={(event) => setToken(event.currentTarget.value)} required />
        </label>
        <p class="soft">It is kept for as long as this tab is open, and shown to this address only.</p>
        <div class="buttons">
          <button type="submit" class="primary">
            Use it
          </button>
          <button type="button" onClick={() => wanted.answer(undefined)}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
