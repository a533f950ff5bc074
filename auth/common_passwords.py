"""Long passwords that guessers try first; shorter ones are refused for their length alone."""

from typing import Final

COMMON_PASSWORDS: Final = frozenset(
    """
    123456789012345 1234567890123456 12345678901234567890 123123123123123 1234512345123451
    1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o 1q2w3e4r5t6y7u8i9o0p 1qaz2wsx3edc4rfv 1qaz2wsx3edc4rfv5tgb
    qazwsxedcrfvtgb qazwsxedcrfvtgbyhn zaq12wsxcde34rfv zaq1xsw2cde3vfr4 qweasdzxcqweasdzxc
    qwertyuiopasdfg qwertyuiopasdfgh qwertyuiopasdfghj qwertyuiopasdfghjkl
    qwertyuiopasdfghjklzxcvbnm qwertyuiop12345 qwertyuiop123456 qwertyuiop1234567890
    qwertzuiopasdfghjkl azertyuiopqsdfghjklm asdfghjklqwertyuiop asdfghjklzxcvbnm
    zxcvbnmasdfghjkl zxcvbnmasdfghjklqwertyuiop mnbvcxzlkjhgfdsapoiuytrewq
    poiuytrewqlkjhgfdsa 0987654321qwertyuiop 1234567890qwertyuiop 1234567890qwerty qwerty1234567890
    qwerty123456789 qwertyqwertyqwerty qwerty123qwerty123 abcdefghijklmnop
    abcdefghijklmnopqrstuvwxyz abcdefghijklmno abcdefg1234567 abcdefgh12345678 abc123abc123abc123
    a1b2c3d4e5f6g7h8 a1b2c3d4e5f6g7h8i9 aabbccddeeffgghh aaaabbbbccccdddd 111122223333444
    1111222233334444 passwordpassword passwordpasswordpassword password12345678
    password123456789 password1234567890 password123password123 passw0rdpassw0rd
    thisismypassword thisisapassword thisisnotapassword thisisasecurepassword
    thisisastrongpassword thisismysecretpassword mysecretpassword mysecurepassword
    mysuperpassword mystrongpassword supersecretpassword supersecurepassword
    verystrongpassword verysecretpassword verysecurepassword averystrongpassword
    averylongpassword averysecurepassword alongpassword12345 strongpassword123
    securepassword123 superstrongpassword topsecretpassword defaultpassword
    defaultpassword123 temporarypassword temporarypassword123 changethispassword
    changemechangeme changeme12345678 changemeplease pleasechangeme pleasechangemenow
    letmeinletmein letmein123456789 letmeinplease123 pleaseletmeinnow openthedoorplease
    administrator123 administrator1234 administratorpassword adminadminadmin
    adminpassword123 administrator rootrootrootroot rootpassword12345 masterpassword
    masterpassword123 testtesttesttest testpassword123 testpassword1234 welcomewelcome
    welcome123456789 welcometothejungle welcomehome12345 correcthorsebatterystaple
    correct-horse-battery-staple correct horse battery staple correctbatteryhorsestaple
    correcthorsebattery troubador3 thequickbrownfox thequickbrownfoxjumps
    thequickbrownfoxjumpsoverthelazydog loremipsumdolorsitamet loremipsumdolor
    hellohellohello helloworldhelloworld helloworld12345 helloworld123456 iloveyouiloveyou
    iloveyouforever iloveyousomuch iloveyou12345678 iloveyou123456789 iloveyoubaby123
    iloveyouverymuch iloveyou4everandever sunshinesunshine sunshine12345678 princessprincess
    princess12345678 footballfootball football12345678 baseballbaseball baseball12345678
    basketballbasketball basketball12345 liverpoolliverpool liverpoolfootballclub
    manchesterunited manchesterunited1 youllneverwalkalone barcelonabarcelona realmadridrealmadrid
    arsenalfootballclub supermansuperman superman12345678 batmanbatmanbatman
    spidermanspiderman dragondragondragon monkeymonkeymonkey michaeljackson maytheforcebewithyou
    lukeiamyourfather winteriscoming123 tobeornottobe tobeornottobethatisthequestion
    jesuschristislord jesusismysavior jesuslovesmeandyou godisgoodallthetime inthenameofthefather
    trustno1trustno1 whatever12345678 computercomputer computer12345678 internetinternet
    blink182blink182 pokemonpokemon123 minecraftminecraft fortnitefortnite callofdutyblackops
    grandtheftauto5 playstation12345 xboxxboxxboxxbox googlegooglegoogle facebookfacebook
    facebookpassword gmailpassword123 linkedinlinkedin twittertwittertwitter
    starwarsstarwars starwars12345678 harrypotter12345 harrypotterharrypotter lordoftherings123
    thelordoftherings onceuponatimeinamerica happybirthdaytoyou happynewyear2024
    happynewyear2025 happynewyear2026 summersummersummer winterwinterwinter summer2024summer2024
    neverstoplearning donotforgetthis idontknowmypassword iforgotmypassword
    forgotmypassword nopasswordatall mypasswordis12345 mypasswordispassword
    mynameismynameis nevergonnagiveyouup
    """.split()  # noqa: SIM905 - two hundred words in quotes are no easier to read
) | {"correct horse battery staple"}
"""In lower case; a password is compared as it is, without its punctuation, and with 0 read as o."""

COMMON_WORDS: Final = (
    *("tollgate", "administrator", "administration", "admin", "password", "passwort", "passphrase"),
    *("secret", "changeme", "letmein", "welcome", "qwertyuiop", "qwerty", "1234567890"),
    *("123456789", "12345678", "123456", "12345", "1234", "123", "platform", "login", "root"),
    *("2024", "2025", "2026", "2027"),
)
"""What is added to fill a password up; it does not count towards what is the owner's own."""
