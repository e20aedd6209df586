/** What the API says when it does not do what was asked. */
import { ApiError } from "../api.ts";

export function Failure({ error }: { readonly error: Error | undefined }) {
  if (error === undefined) return null;
  const title = error instanceof ApiError ? error.title : "That went wrong";
  const errors = error instanceof ApiError ? error.errors : [];
  return (
    <div class="failure" role="alert">
      <strong>{title}.</strong> {error.message}
      {errors.length > 1 && (
        <ul>
          {errors.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
