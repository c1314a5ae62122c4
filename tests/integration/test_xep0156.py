"""host-meta (XEP-0156, XEP-0487): where WebSocket is, for each of our domains, and for pages of any origin."""
import http.client
import json
import xml.etree.ElementTree as ET

from suite import accounts, check, private

XRD = '{http://docs.oasis-open.org/ns/xri/xrd-1.0}'
REL = 'urn:xmpp:alt-connections:'


def get(t, path, host='localhost', method='GET'):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection('127.0.0.1', t.server.http_port, timeout=10)
    try:
        connection.request(method, path, headers={'Host': host, 'Origin': 'https://elsewhere.example'})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@accounts('juliet')
def test_xml_and_json(t):
    """both forms name the same addresses, and may be read by any page"""
    url = 'wss://localhost:%d/xmpp-websocket' % t.server.https_port
    status, headers, body = get(t, '/.well-known/host-meta', 'LOCALHOST:5281')
    check(status == 200 and headers['Access-Control-Allow-Origin'] == '*', 'XML: %d' % status)
    check(headers['Content-Type'].startswith('application/xrd+xml'), headers['Content-Type'])
    links = {link.get('rel'): link.get('href') for link in ET.fromstring(body).findall(XRD + 'Link')}
    check(links[REL + 'websocket'] == url, links)
    check(links[REL + 'xbosh'] == 'https://localhost:%d/http-bind' % t.server.https_port, links)
    status, headers, body = get(t, '/.well-known/host-meta.json')
    check(status == 200 and headers['Access-Control-Allow-Origin'] == '*', 'JSON: %d' % status)
    told = json.loads(body)
    check({link['rel']: link['href'] for link in told['links']} == links, told)
    check('xmpp' not in told, 'XEP-0487 without addresses')
    status, headers, _ = get(t, '/.well-known/host-meta.json', method='OPTIONS')
    check(status == 204 and 'GET' in headers['Access-Control-Allow-Methods'], 'preflight: %d' % status)


@accounts('juliet')
def test_other_domains(t):
    """a domain that is not ours has nothing"""
    for host in ('elsewhere.example', '', 'localhost.evil.example'):
        for path in ('/.well-known/host-meta', '/.well-known/host-meta.json'):
            check(get(t, path, host)[0] == 404, host)


@accounts('juliet')
@private(http={'url': 'https://web.{host}'},
         modules__host_meta={'ips': ['192.0.2.1', '2001:db8::1'], 'pins': ['4/mggdlVx8A3pvHAWW5sD+qJyMtUHgiRuPjVC48N0XQ=']})
def test_behind_a_proxy_with_addresses(t):
    """http.url is what clients are told; with addresses, what XEP-0487 wants of each link"""
    told = json.loads(get(t, '/.well-known/host-meta.json')[2])
    links = {link['rel'][len(REL):]: link for link in told['links']}
    check(links['websocket']['href'] == 'wss://web.localhost/xmpp-websocket', links)
    check(links['tls']['port'] == t.server.tls_port and 'href' not in links['tls'], links)
    for link in links.values():
        check(link['ips'] == ['192.0.2.1', '2001:db8::1'] and link['sni'] == 'localhost', link)
        check(isinstance(link['priority'], int) and isinstance(link['weight'], int), link)
    check(told['xmpp']['ttl'] == 3600 and len(told['xmpp']['public-key-pins-sha-256']) == 1, told['xmpp'])
