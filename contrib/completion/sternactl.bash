# bash completion for sternactl. Which commands and options there are, `sternactl help` says; here is what else may follow.

# Its lines that begin with two blanks and a command: the words before what stands for a value, or before two blanks.
_sternactl_commands() {
	"$1" help 2>/dev/null | sed -nE 's/^  ([a-z0-9]+( [a-z0-9]+)*)( .*)?$/\1/p'
}

# The options of a command, or of all.
_sternactl_options() {
	"$1" help "${@:2}" 2>/dev/null | sed -nE 's/^  (-[a-z], |    )?(--[a-z-]+).*$/\2/p'
}

_sternactl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]}
	local given='' command='' line rest words='' i config=() commands=()

	COMPREPLY=()
	case $prev in
	-c | --config | --from | --file | --key) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config) config=(-c "${COMP_WORDS[++i]}") ;;
		-*) ;;
		*) given+=${given:+ }${COMP_WORDS[i]} ;;
		esac
	done
	mapfile -t commands < <(_sternactl_commands "$program")
	[[ $given != help && $given != "help "* ]] || given=${given#help} given=${given# }
	for line in "${commands[@]}"; do
		if [[ -z $given ]]; then
			words+=" ${line%% *}"
		elif [[ $line == "$given "* ]]; then
			rest=${line#"$given "}
			words+=" ${rest%% *}"
		fi
		[[ $given != "$line" && $given != "$line "* ]] || [ ${#line} -lt ${#command} ] || command=$line
	done
	if [[ -z $given ]]; then
		words+=" help $(_sternactl_options "$program")"
	elif [[ -n $command ]]; then
		words+=" $(_sternactl_options "$program" $command)"
	fi
	case $command in
	'user passwd' | 'user delete' | 'user show' | 'user disable' | 'user enable')
		words+=" $("$program" "${config[@]}" user list 2>/dev/null | cut -d' ' -f1)" ;;
	'log level') words+=' off error warning notice info debug default' ;;
	export | import) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$cur" | sort -u)
}
complete -F _sternactl sternactl
