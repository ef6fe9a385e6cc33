"""XML and HTML read by XPath, written, transformed and checked against a schema."""

from lxml import etree, html

library = etree.fromstring(
    b"""<library xmlns:m="urn:meta">
  <book id="1" m:lang="en"><title>Walden</title><year>1854</year><price>9.50</price></book>
  <book id="2" m:lang="de"><title>Faust &amp; more</title><year>1808</year><price>12.00</price></book>
  <book id="3" m:lang="en"><title>Emma</title><year>1815</year><price>8.25</price></book>
</library>"""
)
print(library.xpath("//book[year < 1850]/title/text()"))
print(
    library.xpath("sum(//price)"), library.xpath("count(//book[@m:lang='en'])", namespaces={"m": "urn:meta"})
)
print([book.get("id") for book in library.iterfind("book") if book.findtext("price") > "9"])
print(library.xpath("//book[last()]")[0].attrib, library.find("book/title").sourceline)
etree.SubElement(library, "book", id="4").text = "é"
print(etree.tostring(library[-1], encoding="unicode"), etree.tostring(library[-1]))

page = html.fromstring("<html><body><ul class=menu><li><a href='/a'>A<li><a href=b>B</ul><p>Tail")
page.make_links_absolute("http://example.test/x/")
print([(link.text_content(), link.get("href")) for link in page.xpath("//ul[@class='menu']//a")])
print(page.xpath("string(//p)"), [element.tag for element in page.iter()])

style = etree.XSLT(
    etree.XML("""<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform">
<x:output method="text"/><x:template match="/"><x:for-each select="//book[title]"><x:sort select="year"/>
<x:value-of select="title"/>;</x:for-each></x:template></x:stylesheet>""")
)
print(str(style(library)))
schema = etree.RelaxNG(
    etree.XML("""<element name="a" xmlns="http://relaxng.org/ns/structure/1.0"><zeroOrMore>
<element name="b"><text/></element></zeroOrMore></element>""")
)
print(schema.validate(etree.XML("<a><b/><b>x</b></a>")), schema.validate(etree.XML("<a><c/></a>")))
try:
    etree.fromstring("<a><b></a>")
except etree.XMLSyntaxError as error:
    print(type(error).__name__, error.lineno)
