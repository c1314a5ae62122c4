"""sternactl against the running server, over the control socket."""
import json
import os
import pathlib
import socket
import stat
import subprocess

import sterna
from suite import accounts, check, private


def ctl(t, *arguments, stdin=''):
    """Exit code and what was written."""
    done = subprocess.run([str(sterna.program('sternactl')), '-c', str(t.server.config_file), *arguments], input=stdin,
                          capture_output=True, text=True, timeout=60, env=t.server.environment())
    return done.returncode, done.stdout, done.stderr


def sessions(t, who):
    return json.loads(t.server.ctl('--json', 'session', 'list', who))


def online(t, name):
    client = t.client(name).connect()
    client.secure()
    client.authenticate()
    client.bind()
    return client


@accounts('juliet')
def test_status_counts_sessions(t):
    """status says who runs; session list who is connected"""
    online(t, 'juliet')
    status = json.loads(t.server.ctl('--json', 'status'))
    check(t.host in status['hosts'] and status['sessions'] >= 1, 'status %r' % status)
    rows = sessions(t, t.bare('juliet'))
    check(len(rows) == 1 and rows[0]['jid'].startswith(t.bare('juliet') + '/'), 'sessions %r' % rows)
    check(rows[0]['tls'].startswith('TLSv1.') and rows[0]['connected'], 'session %r' % rows[0])
    check(t.bare('juliet') in t.server.ctl('session', 'list'), 'the table does not name her')


@accounts('juliet')
def test_kick_ends_the_session(t):
    """session kick: <policy-violation/>; twice is a mistake"""
    client = online(t, 'juliet')
    t.server.ctl('session', 'kick', t.bare('juliet'), 'no balconies')
    check(client.wait_closed() == 'policy-violation', 'another condition')
    check(sessions(t, t.bare('juliet')) == [], 'the session is still there')
    check(ctl(t, 'session', 'kick', t.bare('juliet'))[0] == 1, 'kicking nobody succeeds')


@accounts('juliet')
def test_a_new_password_ends_sessions(t):
    """user passwd: sessions end, the new password works"""
    client = online(t, 'juliet')
    t.server.ctl('user', 'passwd', t.bare('juliet'), stdin='rosemary\n')
    check(client.wait_closed() == 'not-authorized', 'another condition')


@accounts('juliet')
def test_disabled_accounts_end_and_stay_out(t):
    """user disable ends sessions and forbids login; enable allows it again"""
    client = online(t, 'juliet')
    t.server.ctl('user', 'disable', t.bare('juliet'), 'asleep')
    check(client.wait_closed() == 'not-authorized', 'another condition')
    check(json.loads(t.server.ctl('--json', 'user', 'show', t.bare('juliet')))['disabled'], 'not disabled')
    refused = t.client('juliet').connect()
    refused.secure()
    try:
        refused.authenticate()
    except Exception:
        pass
    else:
        check(False, 'a disabled account logs in')
    t.server.ctl('user', 'enable', t.bare('juliet'))
    online(t, 'juliet')


@accounts('juliet')
def test_deleted_accounts_are_forgotten(t):
    """user delete ends sessions; the address is free again"""
    client = online(t, 'juliet')
    t.server.ctl('user', 'delete', t.bare('juliet'))
    check(client.wait_closed() == 'not-authorized', 'another condition')
    check(ctl(t, 'user', 'show', t.bare('juliet'))[0] == 1, 'it is still there')
    t.server.ctl('user', 'add', t.bare('juliet'), stdin='again\n')
    t.server.ctl('user', 'delete', t.bare('juliet'))


@accounts('juliet')
def test_export_and_import(t):
    """what is exported can be imported, also while the server runs; the file is its owner's alone"""
    file = pathlib.Path(t.server.home) / ('export-%s.xml' % t.bare('juliet').split('@')[0])
    counts = json.loads(t.server.ctl('--json', 'export', '--account', t.bare('juliet'), str(file)))
    check(counts['users'] == 1 and counts['without_password'] == 0, 'exported %r' % counts)
    check(stat.S_IMODE(os.stat(file).st_mode) == 0o600, 'others can read it')
    check(ctl(t, 'export', str(file))[0] == 1, 'a file that is there was written over')
    t.server.ctl('user', 'delete', t.bare('juliet'))
    t.server.ctl('import', '--check', str(file))
    check(ctl(t, 'user', 'show', t.bare('juliet'))[0] == 1, '--check has stored something')
    t.server.ctl('import', str(file))
    online(t, 'juliet')
    file.write_text(file.read_text().replace('</user>', '', 1))
    code, _, err = ctl(t, 'import', str(file))
    check(code == 1 and 'mismatched tag' in err and '%s:' % file in err, 'a broken file: %d %s' % (code, err))


@accounts('juliet')
def test_exit_codes(t):
    """1 failed, 2 usage, 69 no server, 78 configuration"""
    check(ctl(t, 'user', 'add', t.bare('juliet'), stdin='x\n')[0] == 1, 'there already: not 1')
    code, _, err = ctl(t, 'sessoin', 'list')
    check(code == 2 and 'session list' in err, 'mistyped: %d %s' % (code, err))
    check(ctl(t, 'user', 'add')[0] == 2, 'usage is not 2')
    check(ctl(t, 'modules', 'load', 'no_such_module')[0] == 1, 'no such module: not 1')
    folder = pathlib.Path(t.server.home) / 'codes'
    folder.mkdir(exist_ok=True)
    bad = folder / 'bad.yaml'
    bad.write_text('hosts: { localhost: {} }\nlimmits: {}\n')
    done = subprocess.run([str(sterna.program('sternactl')), '-c', str(bad), 'config', 'check'], capture_output=True, text=True)
    check(done.returncode == 78 and 'bad.yaml:2:1' in done.stderr, 'config: %d %s' % (done.returncode, done.stderr))
    bad.write_text('hosts: { localhost: {} }\n')
    done = subprocess.run([str(sterna.program('sternactl')), '-c', str(bad), 'status'], capture_output=True, text=True)
    check(done.returncode == 69, 'no server: %d %s' % (done.returncode, done.stderr))


@accounts()
def test_help(t):
    """help for each command, and for the first word of several"""
    for arguments, word in ((('help',), 'user add'), (('help', 'user'), 'user passwd'), (('user', '--help'), 'user passwd'),
                            (('help', 'user', 'add'), '--skip-existing'), (('user', 'add', '--help'), '--skip-existing')):
        code, out, err = ctl(t, *arguments)
        check(code == 0 and word in out and not err, '%s: %d %s%s' % (' '.join(arguments), code, out, err))
    code, _, err = ctl(t, 'help', 'user', 'lst')
    check(code == 2 and 'user list' in err, 'help of a mistyped command: %d %s' % (code, err))


@accounts()
def test_options_as_json(t):
    """options: the core's, and a module's"""
    core = {one['key']: one for one in json.loads(t.server.ctl('options', '--json'))}
    depth = {one['key']: one for one in core['limits']['options']}['depth']
    check(depth['type'] == 'number' and depth['range'] == '8..128', 'limits.depth %r' % depth)
    keys = [one['key'] for one in json.loads(t.server.ctl('options', 'mam', '--json'))]
    check('page' in keys, 'options of mam %r' % keys)
    code, _, err = ctl(t, 'options', 'mm')
    check(code == 1 and len(err.splitlines()) == 1 and "did you mean 'mam'?" in err, 'no such module: %d %s' % (code, err))


@accounts()
def test_many_mistakes_in_a_list_of_accounts(t):
    """The first are named with their lines, the others counted; nothing is written"""
    code, _, err = ctl(t, 'user', 'add', '--from', '-', stdin='good@localhost pw\n' + '@ pw\n' * 500)
    check(code == 1 and '-:2:' in err and '500 mistakes' in err, '%d %s' % (code, err))
    check(len(err.splitlines()) < 30, '%d lines' % len(err.splitlines()))
    check(ctl(t, 'user', 'show', 'good@localhost')[0] == 1, 'an account was made')


@accounts('juliet')
def test_control_socket_is_bounded(t):
    """many requests on one connection are all answered; a line without end is refused; it is ours alone"""
    path = str(pathlib.Path(t.server.home) / 'control.sock')
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, 'others may connect')
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        s.sendall(b'{"command":["status"]}\n{}\nnonsense\n{"command":["nothing"]}\n{"command":[1]}\n')
        f = s.makefile('rb')
        said = [json.loads(f.readline()) for _ in range(5)]
        check([a['ok'] for a in said] == [True, False, False, False, False], 'answers %r' % said)
        check([a.get('code') for a in said[1:]] == ['usage', 'usage', 'unknown', 'usage'], 'codes %r' % said)
        try:
            s.sendall(b'x' * 100000)
        except OSError:
            pass
        check(b'too long' in f.readline(), 'an endless line is read')


@accounts()
def test_modules_load_and_unload(t):
    """modules: unload, load and reload while the server runs; hooks names the stops"""
    for command in ('unload', 'load', 'reload'):
        t.server.ctl('modules', command, 'time')
        names = [m['name'] for m in json.loads(t.server.ctl('--json', 'modules'))]
        check(('time' in names) == (command != 'unload'), '%s: %r' % (command, names))
    check('to session' in t.server.ctl('hooks'), 'hooks')
    check('utc_only' in t.server.ctl('options', 'time'), 'options time')
    t.server.ctl('reload')
    t.server.ctl('log', 'level', 'tls', 'info')
    check('sterna_sessions' in t.server.ctl('stats'), 'stats')
