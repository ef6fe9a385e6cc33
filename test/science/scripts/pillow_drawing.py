"""Shapes drawn, saved and read again; what the pixels say."""

import io

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps, ImageStat

image = Image.new("RGB", (120, 80), "white")
draw = ImageDraw.Draw(image)
draw.rectangle((10, 10, 59, 39), fill=(200, 30, 30))
draw.ellipse((50, 20, 110, 70), fill="#2060c0", outline="black")
draw.polygon([(5, 75), (40, 45), (60, 75)], fill="green")
print(image.getpixel((20, 20)), image.getpixel((80, 45)), image.getpixel((30, 70)), image.getpixel((119, 0)))
print([round(mean, 1) for mean in ImageStat.Stat(image).mean], len(image.getcolors()))

for kind in ("PNG", "GIF", "BMP", "WEBP"):
    file = io.BytesIO()
    image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    again = Image.open(io.BytesIO(file.getvalue()))
    same = ImageChops.difference(again.convert("RGB"), image).getbbox() is None
    print(kind, again.format, again.size, again.mode, same)
file = io.BytesIO()
image.save(file, "JPEG", quality=90)
again = Image.open(io.BytesIO(file.getvalue()))
difference = ImageStat.Stat(ImageChops.difference(again, image)).mean
print("JPEG", again.size, again.mode, 0 < max(difference) < 12)

print("grey", ImageStat.Stat(ImageOps.grayscale(image)).extrema, image.convert("L").histogram()[255])
print("resized", image.resize((12, 8), Image.Resampling.BOX).getpixel((2, 2)))
print("blurred", [round(value) for value in ImageStat.Stat(image.filter(ImageFilter.BoxBlur(2))).mean])
print("rotated", image.rotate(90, expand=True).size, ImageOps.mirror(image).getpixel((99, 20)))
canvas = Image.new("L", (200, 40))
ImageDraw.Draw(canvas).text((2, 2), "Vivarium", fill=255, font=ImageFont.load_default(20))
left, top, right, bottom = canvas.getbbox()
print("text", 60 < right - left < 110, 10 < bottom - top < 30)
