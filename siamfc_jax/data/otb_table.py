"""What the OTB web site says of its sequences: versions, frame ranges, attributes.

Wu, Lim and Yang 2013 and 2015, http://cvlab.hanyang.ac.kr/tracker_benchmark.
"""

ATTRIBUTES = {
    "IV": "illumination variation",
    "SV": "scale variation",
    "OCC": "occlusion",
    "DEF": "deformation",
    "MB": "motion blur",
    "FM": "fast motion",
    "IPR": "in-plane rotation",
    "OPR": "out-of-plane rotation",
    "OV": "out of view",
    "BC": "background clutter",
    "LR": "low resolution",
}

# First and last frame of the sequences whose images go further than their boxes. Elsewhere
# all images count; those of Board, BlurCar1, BlurCar3 and BlurCar4 do not begin at 0001.
RANGES = {
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}

# Folder, versions it belongs to, attributes. Jogging and Skating2 hold two objects each, so
# that OTB-2013 has 51 sequences, OTB-50 has 50 and OTB-100 has 100.
_TABLE = """
Basketball 2013,50,100 IV OCC DEF OPR BC
Biker 50,100 SV OCC MB FM OPR OV LR
Bird1 50,100 DEF FM OV
Bird2 100 OCC DEF FM IPR OPR
BlurBody 50,100 SV DEF MB FM IPR
BlurCar1 100 MB FM
BlurCar2 50,100 SV MB FM
BlurCar3 100 MB FM
BlurCar4 100 MB FM
BlurFace 50,100 MB FM IPR
BlurOwl 50,100 SV MB FM IPR
Board 100 SV MB FM OPR OV BC
Bolt 2013,50,100 OCC DEF IPR OPR
Bolt2 100 DEF BC
Box 50,100 IV SV OCC MB IPR OPR OV BC LR
Boy 2013,100 SV MB FM IPR OPR
Car1 50,100 IV SV MB FM BC LR
Car2 100 IV SV MB FM BC
Car24 100 IV SV BC
Car4 2013,50,100 IV SV
CarDark 2013,50,100 IV BC
CarScale 2013,50,100 SV OCC FM IPR OPR
ClifBar 50,100 SV OCC MB FM IPR OV BC
Coke 2013,100 IV OCC FM IPR OPR BC
Couple 2013,50,100 SV DEF FM OPR BC
Coupon 100 OCC BC
Crossing 2013,100 SV DEF FM OPR BC
Crowds 50,100 IV DEF BC
Dancer 100 SV DEF IPR OPR
Dancer2 100 DEF
David 2013,50,100 IV SV OCC DEF MB IPR OPR
David2 2013,100 IPR OPR
David3 2013,100 OCC DEF OPR BC
Deer 2013,50,100 MB FM IPR BC LR
Diving 50,100 SV DEF IPR
Dog 100 SV DEF OPR
Dog1 2013,100 SV IPR OPR
Doll 2013,100 IV SV OCC IPR OPR
DragonBaby 50,100 SV OCC MB FM IPR OPR OV
Dudek 2013,50,100 SV OCC DEF FM IPR OPR OV BC
FaceOcc1 2013,100 OCC
FaceOcc2 2013,100 IV OCC IPR OPR
Fish 2013,100 IV
FleetFace 2013,100 SV DEF MB FM IPR OPR
Football 2013,50,100 OCC IPR OPR BC
Football1 2013,100 IPR OPR BC
Freeman1 2013,100 SV IPR OPR
Freeman3 2013,100 SV IPR OPR
Freeman4 2013,50,100 SV OCC IPR OPR
Girl 2013,50,100 SV OCC IPR OPR
Girl2 100 SV OCC DEF MB OPR
Gym 100 SV DEF IPR OPR
Human2 100 IV SV MB OPR
Human3 50,100 SV OCC DEF OPR BC
Human4 50,100 IV SV OCC DEF
Human5 100 SV OCC DEF
Human6 50,100 SV OCC DEF FM OPR OV
Human7 100 IV SV OCC DEF MB FM
Human8 100 IV SV DEF
Human9 50,100 IV SV DEF MB FM
Ironman 2013,50,100 IV SV OCC MB FM IPR OPR OV BC LR
Jogging 2013,100 OCC DEF OPR
Jump 50,100 SV OCC DEF MB FM IPR OPR
Jumping 2013,50,100 MB FM
KiteSurf 100 IV OCC IPR OPR
Lemming 2013,100 IV SV OCC FM OPR OV
Liquor 2013,50,100 IV SV OCC MB FM OPR OV BC
Man 100 IV
Matrix 2013,50,100 IV SV OCC FM IPR OPR BC
Mhyang 2013,100 IV DEF OPR BC
MotorRolling 2013,50,100 IV SV MB FM IPR BC LR
MountainBike 2013,100 IPR OPR BC
Panda 50,100 SV OCC DEF IPR OPR OV LR
RedTeam 50,100 SV OCC IPR OPR LR
Rubik 100 SV OCC IPR OPR
Shaking 2013,50,100 IV SV IPR OPR BC
Singer1 2013,100 IV SV OCC OPR
Singer2 2013,50,100 IV DEF IPR OPR BC
Skater 100 SV DEF IPR OPR
Skater2 100 SV DEF FM IPR OPR
Skating1 2013,50,100 IV SV OCC DEF OPR BC
Skating2 50,100 SV OCC DEF FM OPR
Skiing 2013,50,100 IV SV DEF IPR OPR
Soccer 2013,50,100 IV SV OCC MB FM IPR OPR BC
Subway 2013,100 OCC DEF BC
Surfer 50,100 SV FM IPR OPR LR
Suv 2013,100 OCC IPR OV
Sylvester 2013,50,100 IV IPR OPR
Tiger1 2013,100 IV OCC DEF MB FM IPR OPR
Tiger2 2013,50,100 IV OCC DEF MB FM IPR OPR OV
Toy 100 SV FM IPR OPR
Trans 100 IV SV OCC DEF
Trellis 2013,50,100 IV SV IPR OPR BC
Twinnings 100 SV OPR
Vase 100 SV FM IPR
Walking 2013,50,100 SV OCC DEF
Walking2 2013,50,100 SV OCC LR
Woman 2013,50,100 IV SV OCC DEF MB FM OPR
"""
_ROWS = [line.split() for line in _TABLE.strip().splitlines()]
VERSIONS = {
    version: [name for name, versions, *_ in _ROWS if version in versions.split(",")]
    for version in ("2013", "50", "100")
}
ATTRIBUTES_OF = {name: tuple(attributes) for name, _, *attributes in _ROWS}
