/** `fairlead completion bash | zsh | fish`: what a shell needs to complete commands. The words themselves come from `fairlead __complete`, and so from the commands as they are. */

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

// A line of `__complete` is a word, a tab and what it is; ":files" alone: a file is wanted.
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# fairlead completion bash > /etc/bash_completion.d/fairlead, or: source <(fairlead completion bash)
_fairlead() {
  local line="\${COMP_LINE:0:COMP_POINT}" cur="" prefix="" word
  local -a words=() found=()
  read -ra words <<< "$line"
  case "$line" in *[[:space:]]) words+=("") ;; esac
  cur="\${words[\${#words[@]}-1]}"
  # bash ends words at colons, and addresses have some: what stands before the last one is there already.
  case "$COMP_WORDBREAKS" in *:*) prefix="\${cur%"\${cur##*:}"}" ;; esac
  while IFS= read -r word; do found+=("\${word%%$'\\t'*}"); done < <("\${words[0]/#\\~/$HOME}" __complete "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  if [ "\${found[0]:-}" = ":files" ]; then
    compopt -o default 2>/dev/null
    return
  fi
  for word in "\${found[@]}"; do COMPREPLY+=("\${word#"$prefix"}"); done
}
complete -F _fairlead fairlead
`,
  zsh: `#compdef fairlead
# fairlead completion zsh > "\${fpath[1]}/_fairlead"
_fairlead() {
  local -a found described
  local line
  found=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${found[1]}" == ":files" ]]; then
    _files
    return
  fi
  for line in "\${found[@]}"; do
    [[ -n "$line" ]] && described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe fairlead described
}
if [[ "$funcstack[1]" == "_fairlead" ]]; then _fairlead "$@"; else compdef _fairlead fairlead; fi
`,
  fish: `# fairlead completion fish > ~/.config/fish/completions/fairlead.fish
function __fairlead_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found ($words[1] __complete $words[2..-1] 2>/dev/null)
  if test "$found[1]" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c fairlead -f -a '(__fairlead_complete)'
`,
};

export function completionCommand(shell: Shell): void {
  process.stdout.write(SCRIPTS[shell]);
}
