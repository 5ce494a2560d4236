# SPDX-License-Identifier: BSD-3-Clause
# Completion of levels3fs for bash. Verbs and options come from the program itself, so they are those that it has.

_levels3fs_lines() { COMPREPLY+=($(compgen -W "$(levels3fs complete "$@" 2>/dev/null)" -- "$word")); }

# Verbs, and options of the filesystem.
_levels3fs_topics() {
	_levels3fs_lines
	_levels3fs_lines mount -o
	COMPREPLY=("${COMPREPLY[@]%=}")
}

# What stands after -o: options of the filesystem, several with commas between.
_levels3fs_options() {
	local list=$word before=
	case $list in *,*) before=${list%,*}, word=${list##*,} ;; esac
	case $word in *=*) return ;; esac
	_levels3fs_lines "$verb" -o
	COMPREPLY=("${COMPREPLY[@]/#/$before}")
	word=$list
	compopt -o nospace
}

# Names of levels3fs.conf and folders of mounts, each a line that may have blanks; other folders and files as well.
_levels3fs_places() {
	local place
	compopt -o default
	while IFS= read -r place; do
		[[ -n $place && $place = "$word"* ]] && COMPREPLY+=("$place")
	done < <(levels3fs complete "$verb" @ 2>/dev/null)
	# With any of its own, bash would not look for files itself.
	if [ ${#COMPREPLY[@]} != 0 ] && [ -n "$word" ]; then
		while IFS= read -r place; do COMPREPLY+=("$place"); done < <(compgen -f -- "$word")
	fi
	compopt -o filenames
}

_levels3fs_first() {
	case $word in
	-*) _levels3fs_lines mount; COMPREPLY+=($(compgen -W "--help --version" -- "$word")) ;;
	*) _levels3fs_lines ;;
	esac
}

_levels3fs() {
	# bash would take "name=value" and "s3://bucket" apart.
	local line=${COMP_LINE:0:COMP_POINT} words word last verb cut
	read -ra words <<<"$line"
	case $line in *[[:space:]]) words+=("") ;; esac
	word=${words[-1]} last=${words[${#words[@]} - 2]} verb=${words[1]}
	COMPREPLY=()
	case $verb in -* | *:*) [ "${#words[@]}" = 2 ] || verb=mount ;; esac # "levels3fs URL DIR"
	case ${#words[@]},$last,$verb,$word in
	2,*) _levels3fs_first ;;
	*,-o,*,* | *,--options,*,*) _levels3fs_options ;;
	3,*,help,*) _levels3fs_topics ;;
	3,*,lease,-*) _levels3fs_lines lease ;;
	3,*,lease,*) COMPREPLY=($(compgen -W "show break" -- "$word")) ;;
	*,*,*,-*) _levels3fs_lines "$verb" ;;
	*) _levels3fs_places ;;
	esac
	# It replaces what comes after the last of these only.
	cut=${word%"${word##*[=:]}"}
	COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}

complete -F _levels3fs levels3fs
