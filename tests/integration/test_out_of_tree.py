"""A module that is built outside of the tree, against what `make install` puts there, and installed beside the others."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import sterna
from suite import accounts, check

EXAMPLE = sterna.TOP / 'contrib' / 'example-module'


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, **options)
    check(done.returncode == 0, '%s\n%s' % (' '.join(map(str, command)), done.stdout[-4000:]))
    return done.stdout


def install(root):
    """make install below root; returns the environment in which pkg-config finds what lies there."""
    run('make', '-s', '-C', str(sterna.build_dir()), 'install', 'DESTDIR=%s' % root)
    pc = next(root.rglob('sterna.pc'), None)
    check(pc is not None, 'no sterna.pc was installed')
    return dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), PKG_CONFIG_SYSROOT_DIR=str(root))


def build_example(folder, env):
    for name in ('Makefile', 'motd.c'):
        shutil.copy(EXAMPLE / name, folder)
    run('make', '-s', '-C', str(folder), 'CFLAGS=-O1 -g -Werror', 'install', env=env)
    return run('pkg-config', '--variable=moduledir', 'sterna', env=env).strip()


@accounts('juliet')
def test_example_module(t):
    """An installed server loads its modules, and one that was built out of the tree"""
    if not hasattr(t.server, 'db'):
        t.skip('needs a daemon of its own')
    folder = pathlib.Path(tempfile.mkdtemp(prefix='sterna-install-'))
    server = None
    try:
        env = install(folder / 'root')
        (folder / 'motd').mkdir()
        modules = build_example(folder / 'motd', env)
        server = sterna.Server(t.server.db, {'server.module_dir': modules, 'modules.motd.text': 'Welcome back'},
                               name='out_of_tree')
        server.add_users([t.users['juliet']])
        server.start()
        client = server.client(*t.users['juliet'], name='juliet')
        client.transcript = t.transcript
        t.clients.append(client)
        client.login()
        message = client.wait_for(lambda e: e.tag == '{jabber:client}message')
        check(message.get('from') == server.host, 'from is %r' % message.get('from'))
        check(message.findtext('{jabber:client}body') == 'Welcome back', 'the body is another')
    finally:
        problems = server.close() if server is not None else []
        shutil.rmtree(folder, ignore_errors=True)
    check(not problems, '\n'.join(problems))
