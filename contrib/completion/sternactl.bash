# bash completion for sternactl

_sternactl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command='' sub='' i config=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-c | --config) config=(-c "${COMP_WORDS[++i]}") ;;
		-*) ;;
		*) if [ -z "$command" ]; then command=$word; elif [ -z "$sub" ]; then sub=$word; fi ;;
		esac
	done
	COMPREPLY=()
	case $prev in
	-c | --config | --from) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	esac
	local words=''
	case $command in
	'') words='status stats user session modules hooks reload log config migrate options manual export import
		--config --json --help --version' ;;
	user)
		case $sub in
		'') words='add passwd delete list show disable enable' ;;
		add) words='--from --skip-existing --threads' ;;
		passwd | delete | show | disable | enable)
			words=$(sternactl "${config[@]}" user list 2>/dev/null | cut -d' ' -f1) ;;
		esac ;;
	session) [ -n "$sub" ] && words='--limit' || words='list kick' ;;
	modules) [ -n "$sub" ] || words='load unload reload' ;;
	config) [ -n "$sub" ] || words='check show' ;;
	log) [ -n "$sub" ] && words='off error warning notice info debug default' || words='level' ;;
	manual) words='--modules' ;;
	export) words='--host --account' ;;&
	import) words='--check' ;;&
	export | import) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _sternactl sternactl
