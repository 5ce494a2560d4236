# What zsh offers for a line, as if somebody had typed it: an interactive zsh on a terminal of its own completes it, and
# notes instead of showing.
#	completion.zsh FOLDER-OF-THE-PROGRAM FOLDER-OF-THE-COMPLETION	reads lines; prints for each what is offered
zmodload zsh/zpty || exit 1
offered=$(mktemp) && script=$(mktemp) || exit 1
trap 'rm -f "$offered" "$script"' EXIT

await() { # WORD: from the terminal
	local piece seen=
	while zpty -r shell piece; do
		seen+=$piece
		[[ $seen = *$1* ]] && return
	done
	print -ru2 "the shell has ended: $seen"
	exit 1
}

cat >"$script" <<'INSIDE'
path=($program $path) fpath=($completion $fpath)
autoload -Uz compinit
compinit -u -D
offer() {
	compadd() { local -a words; builtin compadd -O words "$@"; ((!$#words)) || print -rl -- $words >>$offered; }
	: >$offered
	_main_complete
	unfunction compadd
	compstate[insert]= compstate[list]=
}
show() { zle offer; BUFFER=; print -n DO; print NE; }
zle -C offer list-choices offer
zle -N show
bindkey '^Xx' show
INSIDE
zpty shell zsh -f -i
zpty -w shell "PS1=; stty -echo; program=${(q)1} completion=${(q)2} offered=$offered; source $script; echo REA''DY"
await READY
while IFS= read -r line; do
	zpty -n -w shell $line$'\C-xx'
	await DONE
	print -r -- "$line: ${(j: :)${(f)"$(<$offered)"}}"
done
zpty -d shell
