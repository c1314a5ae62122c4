"""The REST API: the same commands, roles and checks as at the other doors; tokens, pages, problems, client certificates."""
import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.parse

import sterna
from suite import check, daemon
from test_admin import MAY, ROLES, SERVER
from test_audit import records, validate

SPECIFICATION = sterna.TOP / 'docs' / 'openapi.json'


class Api:
    """A script with a token; each call is (status, headers, body as JSON)."""

    def __init__(self, server, token, certificate=None, port=None):
        self.server, self.token, self.port = server, token, port or server.api_port
        self.context = ssl.create_default_context(cafile=str(server.crt))
        if certificate:
            self.context.load_cert_chain(*certificate)

    def __call__(self, method, path, body=None, headers=None, raw=None, **query):
        connection = http.client.HTTPSConnection('localhost', self.port, timeout=30, context=self.context)
        head = {'Authorization': 'Bearer ' + self.token} if self.token else {}
        if body is not None:
            head['Content-Type'] = 'application/json'
        head.update(headers or {})
        if query:
            path += '?' + urllib.parse.urlencode({k.replace('_', '-') if k == 'page_size' else k: v for k, v in query.items()},
                                                 doseq=True)
        try:
            connection.request(method, path, raw if raw is not None else None if body is None else json.dumps(body), head)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get('Content-Type', '')
        if answer.status >= 400:
            check(kind == 'application/problem+json', '%s %s: %d is %s' % (method, path, answer.status, kind))
            problem = json.loads(data) if data else {}
            check(method == 'HEAD' or (problem['status'] == answer.status and problem['detail'] and problem['code']),
                  'a problem: %r' % problem)
            return answer.status, answer.headers, problem
        check(kind == 'application/json', '%s %s: %s' % (method, path, kind))
        return answer.status, answer.headers, json.loads(data) if data else None


def with_api(server, **more):
    server.api_port = sterna.free_ports(1)[0]
    server.configure(listen=server.tree['listen'] + [
        dict({'kind': 'http', 'address': '127.0.0.1', 'port': server.api_port, 'tls': 'direct', 'serves': 'api'}, **more)])


def as_owner(server):
    with_api(server)
    server.configure(admins={'juliet@' + server.host: {'role': 'owner'}})


def token(server, jid, *scopes, days='1'):
    return json.loads(server.ctl('--json', 'api', 'token', 'create', jid, days, 'test', *scopes))


def expect(answer, status, code=None, field=None):
    got, _, body = answer
    check(got == status, '%d instead of %d: %r' % (got, status, body))
    if code:
        check(body['code'] == code, '%r' % body)
    if field:
        check(body.get('field') == field, 'the field at fault: %r' % body)
    return body


def test_the_description_is_that_of_the_registry(t):
    """docs/openapi.json is what the server says of itself, and every command of sternactl is an operation; after a change:
    STERNA_WRITE_OPENAPI=1 and this test"""
    with daemon(t, before=as_owner) as server:
        api = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        said = expect(api('GET', '/v1/openapi'), 200)
        check(said['openapi'].startswith('3.1'), said['openapi'])
        if os.environ.get('STERNA_WRITE_OPENAPI'):
            SPECIFICATION.write_text(json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + '\n')
        check(said == json.loads(SPECIFICATION.read_text()), 'docs/openapi.json is out of date')
        check(said == json.loads(server.ctl('--json', 'openapi')), 'sternactl describes it in another way')
        commands = [c for c in json.loads(server.ctl('--json', 'commands')) if c['name'] not in ('user changed', 'user exported')]
        check(set(said['paths']) == {'/v1/' + c['name'].replace(' ', '/') for c in commands}, 'paths')
        ids = [o['operationId'] for path in said['paths'].values() for o in path.values()]
        check(len(ids) == len(set(ids)), 'operation ids come twice')
        for path, operations in said['paths'].items():
            for o in operations.values():
                names = [p.get('name') for p in o['parameters'] if 'name' in p]
                check(not {'page', 'page-size'} & set(names), '%s: a field would be taken for the page' % path)


def test_every_command_and_role(t):
    """each command is forbidden to each role that it does not name, to tokens whose scope does not, and at another host"""
    def before(server):
        with_api(server)
        server.configure(hosts__second={'certificate': str(server.crt), 'key': str(server.key)})
        roles = {'%s@%s' % (role, server.host): {'role': role} for role in ROLES}
        server.configure(admins=dict(roles, **{'local@' + server.host: {'role': 'owner', 'hosts': [server.host]}}))

    with daemon(t, users=ROLES + ('local',), before=before, limits__connects_per_address='10000/s') as server:
        paths = json.loads(server.ctl('--json', 'openapi'))['paths']
        for role in ROLES:
            api = Api(server, token(server, role + '@localhost', 'all')['token'])
            reader = Api(server, token(server, role + '@localhost', 'status')['token'])
            for path, operations in paths.items():
                name, method = path[4:].replace('/', ' '), next(iter(operations)).upper()
                headers = {'Sterna-Host': server.host} if MAY[name] >= {'nobody'} else {}
                body = {} if method == 'POST' else None
                # A field that is none: whoever may use the command hears of that, and nothing is done.
                wrong = {'no-such-field': 'x'}
                got = api(method, path, wrong if method == 'POST' else None, headers, **(wrong if method == 'GET' else {}))
                if role == 'owner' or role in MAY[name]:
                    expect(got, 400, 'usage', 'no-such-field')
                else:
                    expect(got, 403, 'forbidden')
                if name != 'status':
                    expect(reader(method, path, body, headers), 403, 'forbidden')
                expect(api('POST' if method == 'GET' else 'GET', path, {} if method == 'GET' else None), 405, 'method')
        local = Api(server, token(server, 'local@localhost', 'all')['token'])
        for path, operations in paths.items():
            name, method = path[4:].replace('/', ' '), next(iter(operations)).upper()
            body = {'no-such-field': 'x'} if method == 'POST' else None
            query = {'no-such-field': 'x'} if method == 'GET' else {}
            expect(local(method, path, body, {'Sterna-Host': 'second'}, **query), 403, 'forbidden')
            expect(local(method, path, body, {'Sterna-Host': 'localhost'}, **query), 403 if name in SERVER else 400)
        expect(local('GET', '/v1/list/online', headers={'Sterna-Host': 'nowhere.example'}), 400, 'usage', 'Sterna-Host')
        expect(local('POST', '/v1/user/changed', {}), 403, 'forbidden')


def test_tokens(t):
    """tokens are stored hashed, good for their scopes and their time, listed and revoked; they end with what they stand on"""
    with daemon(t, users=('juliet', 'romeo', 'nurse'), before=as_owner) as server:
        server.ctl('role', 'grant', 'romeo@localhost', 'admin')
        server.ctl('role', 'grant', 'nurse@localhost', 'admin')
        made = token(server, 'romeo@localhost', 'user show', 'api')
        romeo, nobody = Api(server, made['token']), Api(server, '')
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 200)
        expect(romeo('GET', '/v1/user/roster', accountjids='juliet@localhost'), 403, 'forbidden')
        expect(romeo('POST', '/v1/user/add', {'accountjid': 'x@localhost', 'password': 'p'}), 403, 'forbidden')
        for wrong in ('', 'x', made['token'][:-1] + ('0' if made['token'][-1] != '0' else '1'), made['token'] + '0',
                      'sterna_' + '0' * 16 + '_' + '0' * 64):
            status, headers, _ = Api(server, wrong)('GET', '/v1/status')
            check(status == 401 and headers['WWW-Authenticate'].startswith('Bearer'), '%r: %d' % (wrong, status))
        check(nobody('GET', '/v1/openapi')[0] == 401, 'the description without a token')
        if server.db == 'sqlite':
            check(made['token'][24:].encode() not in (server.home / 'sterna.db').read_bytes(), 'a secret is stored')
        check(made['token'] not in server.log(), 'a secret is in the log')
        # Whoever has a token has no more by it: scopes are not widened, and time is not.
        expect(romeo('POST', '/v1/api/token/create', {'accountjid': 'romeo@localhost', 'scopes': ['all']}), 403, 'forbidden')
        all_of_it = token(server, 'romeo@localhost', 'all')
        longer = expect(Api(server, all_of_it['token'])('POST', '/v1/api/token/create', {
            'accountjid': 'romeo@localhost', 'scopes': ['read'], 'days': 30}), 200)['result']
        check(longer['expires'] <= all_of_it['expires'], 'longer than the one that made it: %r' % longer)
        expect(Api(server, all_of_it['token'])('POST', '/v1/api/token/create', {
            'accountjid': 'nurse@localhost', 'scopes': ['read']}), 403, 'forbidden', 'accountjid')
        for body, field in (({'scopes': ['all'], 'accountjid': 'romeo@localhost/x'}, 'accountjid'),
                            ({'scopes': ['al'], 'accountjid': 'romeo@localhost'}, 'scopes'),
                            ({'scopes': ['user s'], 'accountjid': 'romeo@localhost'}, 'scopes'),
                            ({'scopes': ['all'], 'accountjid': 'romeo@localhost', 'days': 91}, 'days'),
                            ({'scopes': ['all'], 'accountjid': 'romeo@localhost', 'days': 0}, 'days'),
                            ({'scopes': ['all'], 'accountjid': 'romeo@localhost', 'label': 'x' * 300}, 'label'),
                            ({'accountjid': 'romeo@localhost'}, 'scopes')):
            expect(Api(server, all_of_it['token'])('POST', '/v1/api/token/create', body), 400, 'usage', field)
        juliet = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        expect(juliet('POST', '/v1/api/token/create', {'accountjid': 'juliet@localhost', 'scopes': ['all'], 'label': 'two'}), 200)
        rows = expect(juliet('GET', '/v1/api/token/list'), 200)['result']
        check({r['accountjid'] for r in rows} == {'juliet@localhost', 'romeo@localhost'}, '%r' % rows)
        check(not any('token' in r or 'hash' in r for r in rows), 'a secret is listed')
        check(next(r for r in rows if r['id'] == made['id'])['used'] != 'never', 'the use of a token')
        own = expect(romeo('GET', '/v1/api/token/list'), 200)['result']
        check({r['accountjid'] for r in own} == {'romeo@localhost'}, "others' tokens: %r" % own)
        others = next(r['id'] for r in rows if r['accountjid'] == 'juliet@localhost')
        expect(romeo('POST', '/v1/api/token/revoke', {'id': others}), 404, 'not-found', 'id')
        expect(romeo('GET', '/v1/api/token/list', accountjid='nurse@localhost'), 403, 'forbidden', 'accountjid')
        # A role that goes takes effect at once; so do a suspension, and the end of the account.
        server.ctl('role', 'revoke', 'romeo@localhost')
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 403, 'forbidden')
        server.ctl('role', 'grant', 'romeo@localhost', 'admin')
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 200)
        server.ctl('user', 'disable', 'romeo@localhost', 'a holiday')
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 401, 'unauthorized')
        server.ctl('user', 'enable', 'romeo@localhost')
        server.stop()
        server.start()
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 200)
        server.ctl('api', 'token', 'revoke', made['id'])
        expect(romeo('GET', '/v1/user/show', accountjid='juliet@localhost'), 401, 'unauthorized')
        server.ctl('user', 'delete', 'romeo@localhost')
        rows = expect(juliet('GET', '/v1/api/token/list'), 200)['result']
        check({r['accountjid'] for r in rows} == {'juliet@localhost'}, 'tokens of an account that is gone: %r' % rows)


def test_what_is_wrong_is_said(t):
    """bad requests are problems that name the field; bodies are bounded; nothing is done"""
    with daemon(t, before=as_owner, api__body_bytes='4KiB') as server:
        api = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        add = '/v1/user/add'
        expect(api('POST', add, {'accountjid': 'a b@localhost', 'password': 'x'}), 400, 'usage', 'accountjid')
        expect(api('POST', add, {'accountjid': 'a@localhost'}), 400, 'usage', 'password')
        expect(api('POST', add, {'accountjid': {'x': 1}, 'password': 'x'}), 400, 'usage', 'accountjid')
        expect(api('POST', add, {'accountjid': 'a@localhost', 'password': 1.5}), 400, 'usage', 'password')
        expect(api('POST', add, {'accountjid': 'romeo@localhost', 'password': 'x'}), 409, 'conflict', 'accountjid')
        expect(api('POST', add, raw='[]', headers={'Content-Type': 'application/json'}), 400, 'usage', 'body')
        expect(api('POST', add, raw='{"a": "b"', headers={'Content-Type': 'application/json'}), 400, 'usage', 'body')
        expect(api('POST', add, raw='{"accountjid":"a@localhost","accountjid":"b@localhost"}',
                   headers={'Content-Type': 'application/json'}), 400, 'usage', 'body')
        expect(api('POST', add, raw='[' * 3000, headers={'Content-Type': 'application/json'}), 400, 'usage', 'body')
        expect(api('POST', add, raw='{}', headers={'Content-Type': 'text/plain'}), 415, 'usage', 'Content-Type')
        expect(api('POST', add, {'accountjid': 'a@localhost', 'password': 'x' * 5000}), 413)
        expect(api('POST', add + '?accountjid=a', {}), 400, 'usage', 'query')
        expect(api('GET', '/v1/user/show?accountjid=%00'), 400, 'usage', 'query')
        expect(api('GET', '/v1/user/show?accountjid=%zz'), 400, 'usage', 'query')
        expect(api('GET', '/v1/user/show?accountjid=%ff'), 400, 'usage', 'query')
        expect(api('GET', '/v1/user/show', accountjid='nobody@localhost'), 404, 'not-found', 'accountjid')
        expect(api('GET', '/v1/nothing/here'), 404, 'unknown')
        expect(api('GET', '/v1/user'), 404, 'unknown')
        expect(api('GET', '/v1/user/show/more'), 404, 'unknown')
        expect(api('GET', '/v1/'), 404, 'unknown')
        expect(api('GET', '/' + '/'.join('abcdefghijkl')), 404, 'unknown')
        expect(api('GET', '/v1/' + '/'.join('abcdefghijkl')), 404, 'unknown')
        expect(api('GET', '/metrics'), 404)
        expect(api('GET', '/xmpp-websocket'), 404)
        status, headers, _ = api('GET', add)
        check(status == 405 and headers['Allow'] == 'POST', 'Allow: %r' % headers['Allow'])
        expect(api('DELETE', add), 405, 'method')
        check(api('HEAD', '/v1/status')[0] == 200, 'HEAD')
        check(server.ctl('user', 'list') == 'juliet@localhost\nromeo@localhost\n', 'something was made')


def test_long_results_have_pages(t):
    """arrays come in parts of the size that is asked for; the parts together are the whole"""
    with daemon(t, users=['u%02d' % i for i in range(25)] + ['juliet'], before=as_owner, api__page=10) as server:
        api = Api(server, token(server, 'juliet@localhost', 'read')['token'])
        seen, page = [], 0
        while page is not None:
            answer = expect(api('GET', '/v1/list/registered', max_items='none', page=page), 200)
            check(answer['page']['size'] == 10 and answer['page']['total'] == 26, '%r' % answer['page'])
            seen += next(v for v in answer['result'].values() if isinstance(v, list))
            page = answer['page']['next']
        check(len(seen) == len(set(seen)) == 26, 'parts: %r' % seen)
        one = expect(api('GET', '/v1/api/token/list', page_size=1), 200)
        check(len(one['result']) == 1 and one['page'] == {'number': 0, 'size': 1, 'total': 1, 'next': None}, '%r' % one)
        check(expect(api('GET', '/v1/list/registered', page=7), 200)['page']['next'] is None, 'behind the end')
        for query, field in (({'page': -1}, 'page'), ({'page': 'x'}, 'page'), ({'page_size': 0}, 'page-size'),
                             ({'page_size': 10001}, 'page-size')):
            expect(api('GET', '/v1/list/registered', **query), 400, 'usage', field)


def test_certificates_of_clients(t):
    """with api.authorities, a token alone is not enough: the client shows a certificate that one of them has signed"""
    def ours(server, name, issuer=None):
        folder = server.home / 'tls'
        crt, key = folder / (name + '.crt'), folder / (name + '.key')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                        str(key), '-out', str(crt), '-days', '30', '-subj', '/CN=' + name]
                       + (['-CA', str(issuer[0]), '-CAkey', str(issuer[1]), '-addext', 'extendedKeyUsage=clientAuth',
                           '-addext', 'basicConstraints=critical,CA:FALSE'] if issuer else []), check=True, capture_output=True)
        return crt, key

    def before(server):
        as_owner(server)
        server.authority = ours(server, 'authority')
        server.configure(api__authorities=str(server.authority[0]))

    with daemon(t, before=before) as server:
        secret = token(server, 'juliet@localhost', 'all')['token']
        good, stranger = ours(server, 'client', server.authority), ours(server, 'stranger')
        expect(Api(server, secret)('GET', '/v1/status'), 403, 'forbidden')
        expect(Api(server, secret, stranger)('GET', '/v1/status'), 403, 'forbidden')
        expect(Api(server, '', good)('GET', '/v1/status'), 401, 'unauthorized')
        expect(Api(server, secret, good)('GET', '/v1/status'), 200)


def test_every_use_is_in_the_audit(t):
    """what is done, refused and tried is recorded, with the token's id and without secrets"""
    def before(server):
        as_owner(server)
        server.configure(modules__audit={})

    with daemon(t, before=before) as server:
        made = token(server, 'juliet@localhost', 'user')
        api = Api(server, made['token'])
        expect(api('POST', '/v1/user/add', {'accountjid': 'x@localhost', 'password': 'geheim'}), 200)
        expect(api('POST', '/v1/reload', {}), 403, 'forbidden')
        expect(Api(server, 'sterna_x')('GET', '/v1/status'), 401)
        wanted = [('user add', 'done'), ('reload', 'forbidden')]
        end = time.monotonic() + 20
        while time.monotonic() < end:
            seen = records(server)
            used = [r['data'] for r in seen if r['type'] == 'sterna.admin.command.v1' and r['data']['door'] == 'rest']
            tried = [r['data'] for r in seen if r['type'] == 'sterna.login.failed.v1']
            if len(used) == 2 and tried:
                break
            time.sleep(0.1)
        for record in seen:
            validate(record)
        check([(u['command'], u['outcome']) for u in used] == wanted, 'commands: %r' % used)
        check({u['token'] for u in used} == {made['id']}, 'tokens: %r' % used)
        check(tried[0]['reason'] == 'the token is good for nothing', 'a wrong token: %r' % tried)
        check('geheim' not in json.dumps(seen) and made['token'] not in json.dumps(seen), 'a secret is in the audit')
        check('geheim' not in server.log(), 'a password is in the log')
